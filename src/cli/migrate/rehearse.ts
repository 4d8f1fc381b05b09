import type { RehearsalReport } from '../../index.js'
import { defineCommand } from '../command.js'
import { exitCodes } from '../exit-codes.js'
import { wholeNumber } from '../values.js'

interface Input {
  readonly tenants?: number
  readonly sampleAbove?: number
  readonly parallelism?: number
}

type Result = Omit<RehearsalReport, 'estimate' | 'stopped'> & {
  readonly estimate?: NonNullable<RehearsalReport['estimate']>
  readonly stopped: 'signal' | null
}

/** Loaded when the command runs: help needs none of it. */
let renderReport: ((report: RehearsalReport) => string) | undefined

const errorShape = { code: 'string', message: 'string' } as const
const bytesPerMegabyte = 1_000_000

export const rehearseCommand = defineCommand<Input, Result>({
  name: 'rehearse',
  summary: 'Try pending migrations on copies of the largest and most different tenants',
  description:
    'Each copy is a database of its own, filled from one snapshot while its tenant works on, and dropped afterwards. ' +
    'Ends with 1 when something speaks against the migration: a file that fails, a table that is written anew, a long lock.',
  options: [
    {
      flags: '--tenants N',
      description: 'so many of the largest, and as many of the most different, 1 to 20 (default: 3)',
      parse: wholeNumber(1, 20),
    },
    {
      flags: '--sample-above MB',
      description: 'of larger databases copy a sample of that size (default: 1074)',
      parse: wholeNumber(1, 1_000_000),
    },
    {
      flags: '--parallelism N',
      description: 'tenants at a time of the run that is estimated, 1 to 64 (default: 2)',
      parse: wholeNumber(1, 64),
    },
  ],
  examples: [{ command: 'migrate rehearse --tenants 3', says: 'Before migrate up' }],
  json: {
    version: 'number',
    tenants: [
      {
        tenant: { id: 'string', slug: 'string' },
        databaseId: 'string',
        chosenBy: "'size' | 'difference'",
        bytes: 'number',
        'rehearsal?': {
          isSample: 'boolean',
          copyBytes: 'number',
          copyMs: 'number',
          files: [
            {
              name: 'string',
              durationMs: 'number',
              locks: [{ relation: 'string', mode: 'string' }],
              rewritten: ['string'],
              written: [{ relation: 'string', rows: 'number' }],
              'error?': errorShape,
            },
          ],
          migrationMs: 'number',
        },
        'error?': errorShape,
      },
    ],
    problems: [{ tenant: 'string', 'file?': 'string', message: 'string' }],
    'estimate?': { tenants: 'number', ms: 'number' },
    stopped: "'signal' | null",
    durationMs: 'number',
  },
  isWriting: true,
  async run(context, { tenants, sampleAbove, parallelism }) {
    const { tenancy, actor } = await context.open()
    const progress = await context.progress('Rehearsing')
    const {
      estimate,
      stopped = null,
      ...report
    } = await tenancy.fleet.rehearse({
      ...{ tenants, parallelism, actor, signal: context.signal },
      sampleAboveBytes: sampleAbove === undefined ? undefined : sampleAbove * bytesPerMegabyte,
      onProgress: ({ done, planned, failed }) => progress.update(done, planned, failed),
    })
    renderReport = (await import('../../fleet/rehearse/render-rehearsal.js')).renderRehearsal
    return { ...report, ...(estimate && { estimate }), stopped }
  },
  render({ estimate, stopped, ...report }, page) {
    const text = renderReport?.({ ...report, estimate, stopped: stopped ?? undefined }) ?? ''
    for (const line of text.split('\n')) page.line(line, line.trimStart().startsWith('!') ? 'red' : undefined)
    if (report.problems.length === 0 && estimate) page.hint('Migrate them: tenants2fast migrate up')
  },
  exitCode({ problems, stopped }) {
    if (stopped !== null) return exitCodes.interrupted
    return problems.length > 0 ? exitCodes.failed : exitCodes.ok
  },
})
