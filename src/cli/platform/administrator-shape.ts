import type { Shape } from '../shapes.js'

export const administratorShape = {
  userId: 'string',
  email: 'string',
  name: 'string',
  disabledAt: 'date | null',
  grantedAt: 'date',
  grantedBy: 'string | null',
} as const satisfies Shape
