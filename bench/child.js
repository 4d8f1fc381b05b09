// Processes that a benchmark starts and talks to. One says something once it is ready, answers each message with one, and
// ends itself when it is told 'stop'.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/**
 * Starts the program at this URL and waits until it is ready.
 *
 * @param {URL} program
 * @param {{ args?: string[], execArgv?: string[], env?: Record<string, string>, setup?: object }} [options] `setup`: the first
 *   message, for a program that waits for one before it is ready
 */
export async function startChild(program, { args = [], execArgv = [], env = {}, setup } = {}) {
  const child = fork(fileURLToPath(program), args, {
    execArgv,
    env: { ...process.env, ...env, NODE_ENV: 'development' },
  })
  if (setup !== undefined) child.send(setup)
  await nextMessage(child)
  return child
}

/** Tells a process something and waits for its answer. */
export async function askChild(child, message) {
  child.send(message)
  return nextMessage(child)
}

export async function stopChild(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.send('stop')
  await exited
}

async function nextMessage(child) {
  const abort = new AbortController()
  const { signal } = abort
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([message]) => message),
      once(child, 'exit', { signal }).then(() => {
        throw new Error('A process of the benchmark ended early')
      }),
    ])
  } finally {
    abort.abort()
  }
}
