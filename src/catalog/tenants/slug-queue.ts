/** Runs tasks of the same slug one after the other, and tasks of different slugs in parallel. */
export interface SlugQueue {
  run<Result>(slug: string, task: () => Promise<Result>): Promise<Result>
}

/** Creates an empty queue. It keeps a slug only while a task of that slug is running or waiting. */
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
