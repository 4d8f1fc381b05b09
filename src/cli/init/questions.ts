import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseDatabaseUrl } from '../../core/config/database-url.js'
import { CliError } from '../cli-error.js'

/** What a person chose. */
export interface Answers {
  readonly folder: string
  readonly databaseUrl: string | undefined
  /** Undefined: as it is by default. */
  readonly hasApp: boolean | undefined
}

/** Asks on the terminal. Standard output stays free: questions go to standard error. @throws {@link CliError} CLI_INTERRUPTED */
export async function askQuestions({
  folder: given,
  isBare,
}: {
  readonly folder: string | undefined
  readonly isBare: boolean
}): Promise<Answers> {
  const { confirm, intro, isCancel, outro, password, select, text } = await import('@clack/prompts')
  const output = process.stderr
  const answered = <Value>(value: Value): Exclude<Value, symbol> => {
    if (isCancel(value)) throw new CliError('CLI_INTERRUPTED', 'Interrupted: nothing was written')
    return value as Exclude<Value, symbol>
  }
  intro('tenants2fast: a new project', { output })
  const folder =
    given ?? answered(await text({ message: 'In which folder?', initialValue: '.', validate: required, output }))
  const server = answered(
    await select({
      message: 'Which PostgreSQL?',
      options: [
        { value: 'embedded', label: 'The embedded one', hint: 'comes with npm install; for development and tests' },
        { value: 'own', label: 'A server of mine', hint: 'PostgreSQL 15 or newer' },
      ],
      output,
    }),
  )
  const databaseUrl =
    server === 'own'
      ? answered(
          // Not shown: it holds a password.
          await password({
            message:
              'Its address, as an account that may create databases and roles: postgres://user:password@host:5432/postgres',
            validate: problemOfUrl,
            output,
          }),
        )
      : undefined
  const isProject = existsSync(join(resolve(folder), 'package.json'))
  const hasApp = isBare
    ? false
    : answered(
        await confirm({
          message: isProject
            ? 'There is a package.json. Write the files of a starter application beside it?'
            : 'Write a starter application (Fastify, plain SQL, a test)?',
          initialValue: !isProject,
          output,
        }),
      )
  outro('Writing', { output })
  return { folder, databaseUrl, hasApp }
}

const required = (value: string | undefined) =>
  value === undefined || value.trim() === '' ? 'Name a folder' : undefined

function problemOfUrl(value: string | undefined): string | undefined {
  if (value === undefined || !/^postgres(?:ql)?:\/\//i.test(value)) return 'It starts with postgres://'
  try {
    parseDatabaseUrl(value)
    return undefined
  } catch (error) {
    return `The address ${error instanceof Error ? error.message : 'cannot be read'}`
  }
}
