/** The part of pg-cursor that the tests use; it ships no types. */
declare module 'pg-cursor' {
  import type { Submittable } from 'pg'

  export default class Cursor implements Submittable {
    constructor(text: string, values?: unknown[])
    submit(): void
    read(rows: number): Promise<Record<string, unknown>[]>
    close(): Promise<void>
  }
}
