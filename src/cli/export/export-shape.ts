import type { Shape } from '../shapes.js'

export const exportShape = {
  id: 'string',
  tenantId: 'string',
  state: "'queued' | 'running' | 'ready' | 'failed'",
  requestedBy: 'string | null',
  isEncrypted: 'boolean',
  createdAt: 'date',
  startedAt: 'date | null',
  finishedAt: 'date | null',
  expiresAt: 'date',
  takenAt: 'date | null',
  rows: 'number | null',
  bytes: 'number | null',
  sha256: 'string | null',
  error: 'string | null',
} as const satisfies Shape
