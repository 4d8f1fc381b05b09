import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const pollMs = 250

/**
 * Yields once at the start, and then whenever the files of a folder have changed and nothing has changed for a moment. Looks
 * at the files instead of waiting for events: these get lost in containers and on network drives. Ends when aborted.
 */
export async function* folderChanges(folder: string, signal: AbortSignal): AsyncGenerator<void> {
  let handled: string | undefined
  let last = await signatureOf(folder)
  while (!signal.aborted) {
    if (last !== handled) {
      handled = last
      yield
    } else {
      // An abort ends the pause, which is no error.
      await sleep(pollMs, undefined, { signal }).catch(() => {})
    }
    last = await settledSignature(folder, signal, handled)
  }
}

/** The signature; if it is another one than before, once it stays the same for a moment: editors write in several steps. */
async function settledSignature(folder: string, signal: AbortSignal, before: string | undefined): Promise<string> {
  let signature = await signatureOf(folder)
  while (signature !== before && !signal.aborted) {
    await sleep(pollMs, undefined, { signal }).catch(() => {})
    const next = await signatureOf(folder)
    if (next === signature) return signature
    signature = next
  }
  return signature
}

/** Changes with any file's name, size and time; the text `none` when there is no folder. */
async function signatureOf(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => undefined)
  if (entries === undefined) return 'none'
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const facts = await Promise.all(
    files.toSorted().map(async (file) => {
      const found = await stat(file).catch(() => undefined)
      return found === undefined ? '' : `${file} ${found.size} ${found.mtimeMs}`
    }),
  )
  return facts.join('\n')
}
