// The other end of child.js: what a process of a benchmark does with what it is told.

/**
 * Says that the process is ready, answers each message, and closes the tenancy when it is told to stop.
 *
 * @param {{ close(): Promise<void> }} tenancy
 * @param {(message: any) => Promise<unknown>} answer
 */
export function serveParent(tenancy, answer) {
  const stop = async () => {
    await tenancy.close()
    process.exit(0)
  }
  const reply = async (message) => process.send(await answer(message))
  process.on('message', (message) => void (message === 'stop' ? stop() : reply(message)))
  process.once('disconnect', () => process.exit(1))
  process.send('ready')
}
