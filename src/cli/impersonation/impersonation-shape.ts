import type { Shape } from '../shapes.js'

export const impersonationShape = {
  id: 'string',
  tenantId: 'string',
  userId: 'string',
  administratorId: 'string',
  administratorName: 'string | null',
  reason: 'string',
  createdAt: 'date',
  expiresAt: 'date',
  endedAt: 'date | null',
  endedBy: 'string | null',
} as const satisfies Shape
