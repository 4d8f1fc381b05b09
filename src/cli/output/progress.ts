import type { Terminal } from './terminal.js'

/** How far a piece of work is. */
export interface Progress {
  /** @param failed of those that are done */
  update(done: number, total: number, failed?: number): void
  /** Has `write` write lines above the bar, which would otherwise be drawn over them. */
  above(write: () => void): void
  /** Takes the bar away, so that other text can follow. */
  stop(): void
}

const silent: Progress = { update: () => {}, above: (write) => write(), stop: () => {} }

/** Draws a bar with rate and remaining time on standard error, if that is a terminal. */
export async function createProgress(what: string, { isTerminal, hasColour }: Terminal): Promise<Progress> {
  if (!isTerminal) return silent
  const { default: cliProgress } = await import('cli-progress')
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: `${what} [{bar}] {value}/{total}  {rate}/s  {left} left{failures}`,
    barCompleteChar: hasColour ? '█' : '#',
    barIncompleteChar: hasColour ? '░' : '-',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    gracefulExit: false,
  })
  const startedAtMs = performance.now()
  let drawn: { readonly all: number; readonly done: number; readonly payload: object } | undefined
  // A process that is ended in between leaves the cursor hidden and long lines cut.
  const leave = () => bar.stop()
  const draw = (next: NonNullable<typeof drawn>) => {
    if (drawn === undefined) {
      process.once('exit', leave)
      bar.start(next.all, next.done, next.payload)
    } else bar.setTotal(next.all)
    drawn = next
    bar.update(next.done, next.payload)
  }
  const stop = () => {
    if (drawn === undefined) return
    process.off('exit', leave)
    bar.stop()
    drawn = undefined
  }
  return {
    update(done, total, failed = 0) {
      const rate = done / Math.max(0.001, (performance.now() - startedAtMs) / 1000)
      const payload = {
        rate: rate < 10 ? rate.toFixed(1) : Math.round(rate),
        left: done === 0 ? '-' : durationText((total - done) / rate),
        failures: failed > 0 ? `  ${failed} failed` : '',
      }
      // A run may come upon tenants that were created after it began.
      draw({ all: Math.max(total, done), done, payload })
    },
    above(write) {
      const last = drawn
      stop()
      write()
      if (last) draw(last)
    },
    stop,
  }
}

/** Writes seconds as people do: `8 s`, `3 min`, `2 h 5 min`. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 90) return `${whole} s`
  const minutes = Math.round(whole / 60)
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
