// The other end of child.js: what a process of a benchmark does with what it is told.

/**
 * Says that the process is ready, answers each message, and closes what it works with when it is told to stop.
 *
 * @param {{ close(): Promise<void> }} closable
 * @param {(message: any) => Promise<unknown>} answer
 */
export function serveParent(closable, answer) {
  const stop = async () => {
    await closable.close()
    process.exit(0)
  }
  const reply = async (message) => process.send(await answer(message))
  process.on('message', (message) => void (message === 'stop' ? stop() : reply(message)))
  process.once('disconnect', () => process.exit(1))
  process.send('ready')
}
