import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import pg from 'pg'
import { compareStructures } from '../../../src/fleet/drift/compare-structures.js'
import { readStructure } from '../../../src/fleet/drift/read-structure.js'
import { structureSettings } from '../../../src/fleet/drift/structure-sql.js'
import { superuser, testWith } from '../../support/requirements.js'
import { urlOf } from '../../support/server.js'
import { type Change, changesWith, schema } from './changes.js'
import { collect, differencesOf, lineOf, openFleet, type TestFleet } from './fixture.js'

let fleet: TestFleet
let changes: readonly Change[]
beforeAll(async () => {
  fleet = await openFleet(schema)
  await fleet.createTenant('acme')
  changes = changesWith(fleet.owners, `${fleet.installation.prefix}members`)
})
afterAll(() => fleet.drop())

const apply = (made: readonly Change[]) => fleet.runAsOwner('acme', made.map(({ change }) => change).join(';\n'))
const takeBack = (made: readonly Change[]) =>
  fleet.runAsOwner(
    'acme',
    made
      .toReversed()
      .map(({ undo }) => undo)
      .join(';\n'),
  )
const foundOf = (made: readonly Change[]) => [...new Set(made.flatMap(({ found }) => found))].toSorted()

/** Reads the tenant's database without making a copy of the template first. */
const read = async () => {
  const name = await fleet.databaseOf('acme')
  const options = `-c search_path=pg_catalog ${structureSettings}`
  const client = new pg.Client({ connectionString: urlOf(name), options })
  await client.connect()
  try {
    return await readStructure({
      client,
      name,
      roles: { [name]: '<tenant>' },
      ignoredSettings: ['temp_file_limit'],
      ignoredRoles: [],
    })
  } finally {
    await client.end()
  }
}
const differences = async (before: Awaited<ReturnType<typeof read>>) =>
  compareStructures(before, await read()).map(lineOf)

test('Each change by hand is found and named, and nothing else is; taken back, the database is the same again', async () => {
  const before = await read()
  for (const change of changes) {
    await apply([change])
    expect((await differences(before)).toSorted(), change.change).toEqual(foundOf([change]))
    await takeBack([change])
    expect(await differences(before), change.undo).toEqual([])
  }
})

test('Changes that are made together, in any order, are all found', async () => {
  const before = await read()
  const some = fc.shuffledSubarray([...changes.keys()], { minLength: 2 })
  await fc.assert(
    fc.asyncProperty(some, async (indexes) => {
      const made = indexes.map((index) => changes[index]!)
      await apply(made)
      try {
        expect((await differences(before)).toSorted()).toEqual(foundOf(made))
      } finally {
        await takeBack(made)
      }
      expect(await differences(before)).toEqual([])
    }),
    { numRuns: 15 },
  )
})

test('All changes together are what a check finds against the template, and nothing once they are taken back', async () => {
  expect(await differencesOf(fleet.tenancy, 'acme')).toEqual([])
  await apply(changes)
  expect((await differencesOf(fleet.tenancy, 'acme')).toSorted()).toEqual(foundOf(changes))
  await takeBack(changes)
  expect((await fleet.tenancy.fleet.check()).same).toBe(1)
})

test('A position, a dropped column, data and statistics are no difference', async () => {
  await fleet.run(
    'acme',
    `alter table app.tags add gone int; alter table app.tags drop gone;
     alter table public.extra add first int; alter table public.extra drop id; alter table public.extra add id int;
     alter table public.extra drop first;
     insert into app.notes (body) values ('x'); analyze; select nextval('app.numbers')`,
  )
  expect(await differencesOf(fleet.tenancy, 'acme')).toEqual([])
})

test('A difference carries both definitions', async () => {
  await fleet.run('acme', "alter table app.notes alter body set default 'y'")
  const { results } = await collect(fleet.tenancy)
  await fleet.run('acme', "alter table app.notes alter body set default 'x'")
  expect(results).toMatchObject([
    {
      outcome: 'different',
      differences: [{ expected: "text not null default 'x'::text", actual: "text not null default 'y'::text" }],
    },
  ])
})

testWith(superuser, 'Another owner and an event trigger are differences', async () => {
  const members = `${fleet.installation.prefix}members`
  await fleet.run(
    'acme',
    `alter function app.touch() owner to ${members};
     create function app.watch() returns event_trigger language plpgsql as $$ begin end $$;
     create event trigger watch on ddl_command_end execute function app.watch()`,
  )
  const found = await differencesOf(fleet.tenancy, 'acme')
  await fleet.run(
    'acme',
    `drop event trigger watch; drop function app.watch(); alter function app.touch() owner to ${fleet.owners}`,
  )
  expect(found).toEqual(
    expect.arrayContaining([
      'unexpected event trigger watch: event trigger watch',
      'unexpected function app.watch(): function app.watch()',
      'different function app.touch(): owner ',
    ]),
  )
})
