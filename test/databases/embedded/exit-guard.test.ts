import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'

const guard = new URL('../../../dist/databases/embedded/exit-guard.js', import.meta.url).href

/** Runs a program that sets an exit handler, sends it SIGTERM, and returns how it ended and what it printed. */
async function run(program: string): Promise<{ code: number | null; signal: string | null; output: string }> {
  const source = `
    import { onProcessExit } from ${JSON.stringify(guard)}
    setInterval(() => {}, 1000)
    const guard = () => onProcessExit(() => process.stdout.write('cleaned;'))
    ${program}
    process.stdout.write('ready;')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    const isFirst = output === ''
    output += chunk.toString()
    if (isFirst) child.kill('SIGTERM')
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { code, signal, output }
}

test('A signal that the application does not handle runs the exit handlers and ends the process as usual', async () => {
  expect(await run('guard()')).toEqual({ code: null, signal: 'SIGTERM', output: 'ready;cleaned;' })
})

test.each([
  ['before', `process.once('SIGTERM', stop); guard()`],
  ['after', `guard(); process.once('SIGTERM', stop)`],
  ['for good before', `process.on('SIGTERM', stop); guard()`],
])('A signal handler of the application that was set %s ours decides when to stop', async (_when, program) => {
  const stop = `const stop = () => setTimeout(() => { process.stdout.write('stopped;'); process.exit(0) }, 50);`
  expect(await run(stop + program)).toEqual({ code: 0, signal: null, output: 'ready;stopped;cleaned;' })
})
