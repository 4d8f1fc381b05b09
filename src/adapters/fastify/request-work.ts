import { setMaxListeners } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type RequestContext, Work } from '../../core/context.js'

/** A request as a piece of work: given up when its client is gone before the response is complete. */
export class RequestWork extends Work {
  readonly #response: ServerResponse
  #signal: AbortSignal | undefined

  constructor(context: RequestContext, response: ServerResponse) {
    super(context)
    this.#response = response
  }

  // Made when somebody asks, that is, when somebody has to wait: most requests never do.
  override get signal(): AbortSignal {
    this.#signal ??= signalOf(this.#response)
    return this.#signal
  }
}

/** The request's own 'close' won't do: it also comes when a body has been read (Node, http.IncomingMessage). */
function signalOf(response: ServerResponse): AbortSignal {
  const controller = new AbortController()
  // Each query of the request that waits listens.
  setMaxListeners(0, controller.signal)
  const onClose = (): void => {
    if (!response.writableEnded) controller.abort(new Error('The client closed its connection'))
  }
  if (response.destroyed) onClose()
  else response.once('close', onClose)
  return controller.signal
}
