import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const options = {
  noEmit: true,
  skipLibCheck: true,
  strict: true,
  target: 'es2022',
  lib: ['es2023'],
  module: 'nodenext',
  types: ['node'],
  typeRoots: [resolve('node_modules/@types')],
  paths: { tenants2fast: [resolve('src/index.ts')] },
}

/** The example of a page that has a certain text in it. */
function exampleWith(file: string, text: string): string {
  const examples = [...readFileSync(file, 'utf8').matchAll(/```ts\n([^]*?)```/g)].map(([, example]) => example ?? '')
  return examples.find((example) => example.includes(text)) ?? `no example in ${file} has: ${text}`
}

/** What the compiler says to each example, as a module of its own, with what the application has. */
async function compile(examples: readonly string[]): Promise<string> {
  const dir = mkdtempSync(resolve('test/docs/.examples-'))
  try {
    writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
    const files = examples.map((_, index) => `example-${index}.ts`)
    writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files }))
    const application = 'declare const tenancy: import("tenants2fast").Tenancy; declare function work(): Promise<void>'
    files.forEach((file, index) => {
      writeFileSync(join(dir, file), `${examples[index]}\n${application}\nvoid [tenancy, work]\nexport {}\n`)
    })
    const tsc = resolve('node_modules/typescript/bin/tsc')
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', dir]).catch(
      (error: { stdout: string }) => error,
    )
    return stdout
  } finally {
    rmSync(dir, { recursive: true })
  }
}

test('examples of the docs compile under strict, and a planted type error is found', { timeout: 60_000 }, async () => {
  const output = await compile([
    exampleWith('docs/errors.md', 'retryAfterSeconds'),
    exampleWith('docs/isolation.md', 'identity-mismatch'),
    exampleWith('docs/tenants.md', 'addMember'),
    "const wrong: number = 'x'\nvoid wrong",
  ])
  const errors = output.split('\n').filter((line) => line.includes('error TS'))
  expect(errors).toEqual([expect.stringMatching(/example-3\.ts.*TS2322/)])
})
