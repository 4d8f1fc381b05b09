import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take longest, mostly by waiting: the longest first. */
const longest = [
  'test/faults/lifecycle.test.ts',
  'test/examples/quick-start.test.ts',
  'test/tenancy/start-and-stop/close.test.ts',
  'test/databases/embedded/embedded.test.ts',
  'test/coherence/coherence.test.ts',
  'test/tenancy/requests/outages.test.ts',
  'test/databases/building/template-lock.test.ts',
  'test/isolation/isolation.test.ts',
  'test/faults/restart.test.ts',
  'test/tenancy/start-and-stop/start.test.ts',
]

/** Starts the longest files first, so that none of them runs alone at the end. The others by size, as vitest does. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = longest.findIndex((file) => moduleId.endsWith(`/${file}`))
      return index < 0 ? longest.length : index
    }
    // oxlint-disable-next-line unicorn/no-array-sort -- not a method of arrays
    const bySize = await super.sort(files)
    return bySize.toSorted((one, other) => rank(one) - rank(other))
  }
}
