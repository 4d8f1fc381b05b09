import { expect, test } from 'vitest'
import { refuseQuery, sessionNeedOf, withoutName } from '../../../src/connections/queries/transaction-pooling.js'

test.each([
  ["set statement_timeout = '1s'", 'SET'],
  ['  SET ROLE reader', 'SET'],
  ['/* why */ set session authorization default', 'SET'],
  ['-- why\nset search_path to x', 'SET'],
  ['select 1; set search_path to x', 'SET'],
  ['listen changes', 'LISTEN'],
  ['prepare p as select 1', 'PREPARE'],
  ['load $$plpgsql$$', 'LOAD'],
  ['declare c cursor with hold for select 1', 'DECLARE'],
  ['create temporary table t (id int)', 'CREATE TEMPORARY'],
  ['create  local\n temp table t (id int)', 'CREATE LOCAL TEMP'],
  ['select pg_advisory_lock(1)', 'pg_advisory_lock'],
  ['select pg_try_advisory_lock_shared ($1, $2)', 'pg_try_advisory_lock_shared'],
  ["select set_config('a.b', $1, false)", 'set_config(…, false)'],
])('the statement %s needs a session: %s', (text, need) => {
  expect(sessionNeedOf(text)).toBe(need)
})

test.each([
  'select 1',
  'set local search_path to x',
  'set transaction read only',
  'set constraints all deferred',
  "update items set name = 'set'",
  'begin; set search_path to x; commit',
  'start transaction; listen x; commit',
  'prepare transaction $$x$$',
  'create table t (id int)',
  'select pg_advisory_xact_lock(1)',
  "select set_config('a.b', $1, true)",
  'select my_function()',
  '-- set x = 1\nselect 1',
])('the statement %s needs no session that its text shows', (text) => {
  expect(sessionNeedOf(text)).toBeUndefined()
})

test('only the name is taken off a query, and the caller’s object is not changed', () => {
  const query = { name: 'by-id', text: 'select $1', values: [1], rowMode: 'array' }
  expect(withoutName(query)).toEqual({ text: 'select $1', values: [1], rowMode: 'array' })
  expect(query.name).toBe('by-id')
  expect(withoutName('select 1')).toBe('select 1')
  const submittable = { name: 'x', submit: () => {} }
  expect(withoutName(submittable)).toBe(submittable)
})

test('a refusal reaches the caller in the form it waits for, never before the call has returned', async () => {
  const refusal = new Error('refused')
  await expect(refuseQuery('set x = 1', undefined, refusal)).rejects.toBe(refusal)
  const heard: unknown[] = []
  expect(refuseQuery('set x = 1', (error: Error) => heard.push(error), refusal)).toBeUndefined()
  expect(refuseQuery({ handleError: (error: Error) => heard.push(error) }, undefined, refusal)).toBeUndefined()
  expect(heard).toEqual([])
  await new Promise(setImmediate)
  expect(heard).toEqual([refusal, refusal])
})
