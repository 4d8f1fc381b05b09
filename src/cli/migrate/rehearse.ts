import type { RehearsalReport } from '../../index.js'
import { defineCommand } from '../command.js'
import { exitCodes } from '../exit-codes.js'
import { wholeNumber } from '../values.js'

interface Input {
  readonly tenants?: number
  readonly parallelism?: number
  readonly sampleAbove?: number
}

interface Result {
  readonly report: Omit<RehearsalReport, 'estimate' | 'stopped'> & {
    readonly estimate: RehearsalReport['estimate'] | null
    readonly stopped: RehearsalReport['stopped'] | null
  }
  /** As `--json` leaves it out. */
  readonly text?: string
}

export const rehearseMigrations = defineCommand<Input, Result>({
  name: 'rehearse',
  summary: 'Try the pending migrations on throw-away copies of the largest and most different tenants',
  description:
    'Tenants go on working. Reports time, locks, rewritten tables and errors, and what a run over the fleet would take. Exit code 1: ' +
    'something speaks against migrating.',
  options: [
    {
      flags: '--tenants N',
      description: 'so many of the largest and as many of the most different, 1 to 20 (default: 3)',
      parse: wholeNumber(1, 20),
    },
    {
      flags: '--parallelism N',
      description: 'tenants at a time of the run that is estimated (default: 2)',
      parse: wholeNumber(1, 64),
    },
    {
      flags: '--sample-above BYTES',
      description: 'of a larger database the copy has a sample (default: 1 GiB)',
      parse: wholeNumber(1_000_000, Number.MAX_SAFE_INTEGER),
    },
  ],
  examples: [{ command: 'migrate rehearse', says: 'Before migrate up' }],
  json: {
    report: {
      version: 'number',
      tenants: ['any'],
      problems: [{ tenant: 'string', 'file?': 'string', message: 'string' }],
      estimate: 'any',
      stopped: "'signal' | null",
      durationMs: 'number',
    },
  },
  isWriting: true,
  async run(context, { tenants, parallelism, sampleAbove }) {
    const { tenancy, actor } = await context.open('migrate')
    const progress = await context.progress('Rehearsing')
    const { signal } = context
    const report = await tenancy.fleet.rehearse({
      ...{ tenants, parallelism, sampleAboveBytes: sampleAbove, signal, actor },
      onProgress: ({ done, planned, failed }) => progress.update(done, planned, failed),
    })
    const { estimate = null, stopped = null, ...rest } = report
    if (context.isJson) return { report: { ...rest, estimate, stopped } }
    const { renderRehearsal } = await import('../../index.js')
    return { report: { ...rest, estimate, stopped }, text: renderRehearsal(report) }
  },
  render({ text }, page) {
    page.line(text)
  },
  exitCode({ report: { stopped, problems, tenants } }) {
    if (stopped === 'signal') return exitCodes.interrupted
    return problems.length > 0 || tenants.some(({ error }) => error !== undefined) ? exitCodes.failed : exitCodes.ok
  },
})
