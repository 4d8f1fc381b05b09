import { expect, expectTypeOf, test } from 'vitest'
import {
  type Columns,
  namesOf,
  type PartOf,
  partOf,
  type RowOf,
  selectList,
  unprefixed,
} from '../../src/core/columns.js'

const columns = {
  id: { name: 'id', kind: 'text', cached: true, public: true },
  status: { name: 'status', kind: ['open', 'shut'], public: true, writable: true },
  closedAt: { name: 'closed_at', kind: 'time', nullable: true, public: true },
  secretHash: { name: 'secret_hash', kind: 'text' },
  epoch: { name: 'epoch', kind: 'integer', read: '$::float8' },
} as const satisfies Columns

test('a column without a flag belongs to no part of its row', () => {
  for (const use of ['cached', 'public', 'writable'] as const) {
    expect(namesOf(columns, use)).not.toContain('secretHash')
  }
  expect(namesOf(columns, 'public')).toEqual(['id', 'status', 'closedAt'])
  expect(namesOf(columns, 'writable')).toEqual(['status'])
})

test('a part of a row has the columns of that use and nothing else that the row carries', () => {
  const row = { id: '1', status: 'open', closedAt: null, secretHash: 'x', epoch: 3, joined: 'y' } as const
  expect(partOf(columns, 'public', row)).toStrictEqual({ id: '1', status: 'open', closedAt: null })
  expect(partOf(columns, 'cached', row)).toStrictEqual({ id: '1' })
})

test('a select list reads every column under its TypeScript name, qualified and prefixed on demand', () => {
  expect(selectList({ closedAt: columns.closedAt, epoch: columns.epoch })).toBe(
    'closed_at as "closedAt", epoch::float8 as "epoch"',
  )
  expect(selectList({ epoch: columns.epoch }, { table: 'door', prefix: 'door.' })).toBe(
    'door.epoch::float8 as "door.epoch"',
  )
})

test('rows of several tables in one are told apart by their prefix', () => {
  const row = { 'door.id': '1', 'door.status': 'shut', 'house.id': '2' }
  expect(unprefixed({ id: columns.id, status: columns.status }, row, 'door.')).toEqual({ id: '1', status: 'shut' })
})

test('the types of rows and parts follow from the declaration', () => {
  expectTypeOf<RowOf<typeof columns>['secretHash']>().toEqualTypeOf<string>()
  expectTypeOf<PartOf<typeof columns, 'public'>>().toEqualTypeOf<{
    readonly id: string
    readonly status: 'open' | 'shut'
    readonly closedAt: Date | null
  }>()
})
