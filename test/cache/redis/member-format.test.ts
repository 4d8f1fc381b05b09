import { expect, test } from 'vitest'
import { decodeMember, encodeMember } from '../../../src/cache/redis/member-format.js'
import { namesOf } from '../../../src/core/columns.js'
import { membershipColumns, tenantColumns } from '../../../src/core/model.js'
import { memberRecord } from '../member-record.js'

const address = { userId: 'ada', tenantId: 'acme', user: 2, tenant: 4, rules: 7 }
const nowMs = Date.parse('2026-03-04T05:06:07Z')

test('a member is the same after it was written and read', () => {
  const record = memberRecord('ada', 'acme', nowMs + 1000)
  expect(decodeMember(encodeMember(record, nowMs), address, { oldestMs: nowMs - 1000, nowMs })).toEqual(record)
})

test('only the columns that may be cached are written, whatever else the row has', () => {
  const record = memberRecord('ada', 'acme')
  const secret = { billingToken: 'a secret' }
  const withSecret = {
    ...record,
    ...secret,
    grants: { ...record.grants, ...secret },
    tenant: { ...record.tenant, ...secret },
    membership: { ...record.membership, ...secret },
  }
  const text = encodeMember(withSecret, nowMs)
  expect(text).not.toContain('a secret')
  const written = JSON.parse(text) as { record: { tenant: object; membership: object } }
  expect(Object.keys(written.record.tenant)).toEqual(namesOf(tenantColumns, 'cached'))
  expect(Object.keys(written.record.membership)).toEqual(namesOf(membershipColumns, 'cached'))
})

test('a column that may not be cached is not taken from Redis either', () => {
  const { record, writtenAtMs } = JSON.parse(encodeMember(memberRecord('ada', 'acme'), nowMs)) as {
    record: { tenant: object }
    writtenAtMs: number
  }
  const value = JSON.stringify({ writtenAtMs, record: { ...record, tenant: { ...record.tenant, isStaff: true } } })
  const read = decodeMember(value, address, { oldestMs: 0, nowMs })
  expect(read).toEqual(memberRecord('ada', 'acme'))
})
