// The other end of client.js.
import { askChild, startChild, stopChild } from '../child.js'

/** @param {string} variant @param {object} setup */
export async function openClient(variant, setup) {
  const child = await startChild(new URL('client.js', import.meta.url), { args: [variant], setup })
  return {
    /** @param {string} command @param {object} options */
    run: (command, options) => askChild(child, { command, ...options }),
    close: () => stopChild(child),
  }
}
