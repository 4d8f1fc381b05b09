// The other end of client.js.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** @param {string} variant @param {object} setup */
export async function openClient(variant, setup) {
  const child = fork(fileURLToPath(new URL('client.js', import.meta.url)), [variant], {
    env: { ...process.env, NODE_ENV: 'development' },
  })
  const exited = once(child, 'exit')
  const answer = async () => {
    const gone = exited.then(([code]) => {
      throw new Error(`${variant} ended with ${code}`)
    })
    const [message] = await Promise.race([once(child, 'message'), gone])
    return message
  }
  child.send(setup)
  await answer()
  return {
    /** @param {string} command @param {object} options */
    run(command, options) {
      const answered = answer()
      child.send({ command, ...options })
      return answered
    },
    async close() {
      child.send({ command: 'close' })
      await exited
    },
  }
}
