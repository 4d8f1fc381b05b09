import type {
  AlterDefaultPrivilegesStmt,
  AlterFunctionStmt,
  CopyStmt,
  CreateExtensionStmt,
  CreateFunctionStmt,
  DefElem,
  DoStmt,
  GrantStmt,
} from 'libpg-query'
import type { FileState, Found } from '../file-state.js'
import { bodiesOf, bodyOf, type NodeType, textsOf } from '../nodes.js'

/** Statements that only a superuser or the provisioning account may run. */
export const privilegedStatements: { readonly [Type in NodeType]?: string } = {
  AlterDatabaseSetStmt: 'ALTER DATABASE … SET',
  AlterDatabaseStmt: 'ALTER DATABASE',
  AlterEventTrigStmt: 'ALTER EVENT TRIGGER',
  AlterExtensionStmt: 'ALTER EXTENSION',
  AlterRoleSetStmt: 'ALTER ROLE … SET',
  AlterRoleStmt: 'ALTER ROLE',
  AlterSubscriptionStmt: 'ALTER SUBSCRIPTION',
  AlterSystemStmt: 'ALTER SYSTEM',
  CheckPointStmt: 'CHECKPOINT',
  CreateAmStmt: 'CREATE ACCESS METHOD',
  CreateEventTrigStmt: 'CREATE EVENT TRIGGER',
  CreateFdwStmt: 'CREATE FOREIGN DATA WRAPPER',
  CreateForeignServerStmt: 'CREATE SERVER',
  CreateOpClassStmt: 'CREATE OPERATOR CLASS',
  CreateOpFamilyStmt: 'CREATE OPERATOR FAMILY',
  CreatePLangStmt: 'CREATE LANGUAGE',
  CreateRoleStmt: 'CREATE ROLE',
  CreateSubscriptionStmt: 'CREATE SUBSCRIPTION',
  CreateTableSpaceStmt: 'CREATE TABLESPACE',
  CreateUserMappingStmt: 'CREATE USER MAPPING',
  CreatedbStmt: 'CREATE DATABASE',
  DropOwnedStmt: 'DROP OWNED',
  DropRoleStmt: 'DROP ROLE',
  DropSubscriptionStmt: 'DROP SUBSCRIPTION',
  DropTableSpaceStmt: 'DROP TABLESPACE',
  DropdbStmt: 'DROP DATABASE',
  GrantRoleStmt: 'GRANT or REVOKE of a role',
  LoadStmt: 'LOAD',
  ReassignOwnedStmt: 'REASSIGN OWNED',
  SecLabelStmt: 'SECURITY LABEL',
}

/** The finding of such a statement. */
export function privileged(what: string): Found {
  return { rule: 'privileged', message: `${what} reaches beyond the tenant's own objects` }
}

/** CREATE EXTENSION. */
export function checkExtension({ extname = '' }: CreateExtensionStmt, { extensions }: FileState): Found[] {
  if (extensions.has(extname)) return []
  return [{ rule: 'extension', message: `The extension ${extname} is not among those that the installation makes` }]
}

const trusted: ReadonlySet<string> = new Set(['sql', 'plpgsql', 'plperl', 'pltcl', 'plv8', 'plrust'])

/** CREATE FUNCTION and PROCEDURE. */
export function checkRoutine({ funcname, options }: CreateFunctionStmt): Found[] {
  const name = textsOf(funcname).join('.')
  const elements = bodiesOf(options, 'DefElem')
  return [...checkLanguage(elements, `The function ${name}`), ...checkDefiner(elements, name)]
}

/** ALTER FUNCTION. */
export function checkAlterRoutine({ func, actions }: AlterFunctionStmt): Found[] {
  return checkDefiner(bodiesOf(actions, 'DefElem'), textsOf(func?.objname).join('.'))
}

/** DO. */
export function checkDo({ args }: DoStmt): Found[] {
  return checkLanguage(bodiesOf(args, 'DefElem'), 'The DO block')
}

function checkLanguage(elements: readonly DefElem[], what: string): Found[] {
  const language = bodyOf(elements.find(({ defname }) => defname === 'language')?.arg, 'String')?.sval?.toLowerCase()
  if (language === undefined || trusted.has(language)) return []
  return [{ rule: 'untrusted-language', message: `${what} is in ${language}, which only a superuser may use` }]
}

function checkDefiner(elements: readonly DefElem[], name: string): Found[] {
  const isDefiner = elements.some(
    ({ defname, arg }) => defname === 'security' && bodyOf(arg, 'Boolean')?.boolval === true,
  )
  const hasPath = elements.some(
    ({ defname, arg }) => defname === 'set' && bodyOf(arg, 'VariableSetStmt')?.name === 'search_path',
  )
  if (!isDefiner || hasPath) return []
  return [
    {
      rule: 'definer-search-path',
      message: `The function ${name} runs as its owner and finds objects by the caller's search_path: the caller chooses what runs`,
    },
  ]
}

/** GRANT and REVOKE. */
export function checkGrant({ is_grant, grantees }: GrantStmt): Found[] {
  const isPublic = bodiesOf(grantees, 'RoleSpec').some(({ roletype }) => roletype === 'ROLESPEC_PUBLIC')
  if (is_grant !== true || !isPublic) return []
  return [{ rule: 'grant-to-public', message: 'Every account that can connect gets the privilege' }]
}

/** ALTER DEFAULT PRIVILEGES. */
export function checkDefaultPrivileges({ action, options }: AlterDefaultPrivilegesStmt): Found[] {
  const isForRole = bodiesOf(options, 'DefElem').some(({ defname }) => defname === 'roles')
  return [...(isForRole ? [privileged('ALTER DEFAULT PRIVILEGES FOR ROLE')] : []), ...checkGrant(action ?? {})]
}

/** COPY. */
export function checkCopy({ is_from, is_program, filename }: CopyStmt): Found[] {
  if (filename !== undefined || is_program === true) {
    return [{ rule: 'server-file', message: "COPY with a file or a program reaches the server's own files" }]
  }
  const direction = is_from === true ? 'FROM STDIN' : 'TO STDOUT'
  return [{ rule: 'server-file', message: `COPY ${direction} has no other end in a migration` }]
}

const reaching =
  /^(pg_read_file|pg_read_binary_file|pg_ls_dir|lo_import|lo_export|pg_terminate_backend|pg_cancel_backend|pg_reload_conf)$/

/** A call of a function of PostgreSQL's own that reaches beyond the database. */
export function checkCall(name: string): Found[] {
  return reaching.test(name) ? [privileged(`${name}()`)] : []
}
