/** Runs tasks of one slug one after the other, those of different slugs at once. */
export interface SlugQueue {
  run<Result>(slug: string, task: () => Promise<Result>): Promise<Result>
}

/** An empty queue. It remembers a slug only while somebody is at it. */
export function createSlugQueue(): SlugQueue {
  const last = new Map<string, Promise<unknown>>()
  return {
    async run(slug, task) {
      const before = last.get(slug)
      const turn = before ? before.then(task, task) : task()
      last.set(slug, turn)
      try {
        return await turn
      } finally {
        if (last.get(slug) === turn) last.delete(slug)
      }
    },
  }
}
