import { countText } from '../../core/text.js'
import type { AuditVerification } from '../../index.js'
import { defineCommand } from '../command.js'
import { exitCodes } from '../exit-codes.js'

interface Input {
  readonly tenant?: string
}

export const verifyAudit = defineCommand<Input, AuditVerification>({
  name: 'verify',
  summary: 'Compute every hash of the audit log again, and name the first bad entry of each chain',
  description:
    'Exit code 1: an entry was changed, removed, inserted or cut off. docs/tenants.md says what cannot be found.',
  options: [{ flags: '--tenant TENANT', description: 'slug or id: the chain of one tenant (default: all chains)' }],
  examples: [{ command: 'audit verify', says: 'All chains, with their anchors' }],
  json: {
    isIntact: 'boolean',
    chains: 'number',
    entries: 'number',
    problems: [
      {
        tenantId: 'string | null',
        seq: 'number',
        entryId: 'string | null',
        kind: "'altered' | 'missing' | 'truncated' | 'unknown' | 'head-missing'",
      },
    ],
  },
  exitCodes: [3],
  async run(context, { tenant }) {
    const { tenancy } = await context.open()
    return tenancy.audit.verify({ tenant })
  },
  render({ isIntact, chains, entries, problems }, page) {
    page.line(
      isIntact
        ? `Intact: ${countText(entries, 'entry', 'entries')} in ${countText(chains, 'chain')}`
        : `NOT INTACT: ${problems.length} of ${countText(chains, 'chain')}; ${countText(entries, 'entry', 'entries')}`,
      isIntact ? 'green' : 'red',
    )
    if (isIntact) return
    page.table(
      ['CHAIN', 'SEQ', 'PROBLEM', 'ENTRY'],
      problems.map(({ tenantId, seq, kind, entryId }) => [tenantId ?? 'installation', seq, kind, entryId]),
    )
  },
  exitCode: ({ isIntact }) => (isIntact ? exitCodes.ok : exitCodes.failed),
})
