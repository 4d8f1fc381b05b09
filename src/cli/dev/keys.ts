/**
 * Calls functions when keys are pressed on the terminal. Nothing happens where standard input is none. Returns the function that
 * gives the terminal back.
 */
export function listenToKeys(keys: Readonly<Record<string, () => void>>): () => void {
  const { stdin } = process
  if (!stdin.isTTY) return () => {}
  const onData = (data: Buffer) => {
    for (const key of data.toString('utf8')) {
      // Without line editing, the terminal sends Ctrl-C as a character.
      if (key === '\u0003') process.kill(process.pid, 'SIGINT')
      else if (Object.hasOwn(keys, key)) keys[key]?.()
    }
  }
  const restore = () => {
    stdin.off('data', onData)
    stdin.setRawMode(false)
    stdin.pause()
  }
  stdin.setRawMode(true)
  stdin.resume()
  stdin.on('data', onData)
  process.once('exit', restore)
  return () => {
    process.off('exit', restore)
    restore()
  }
}
