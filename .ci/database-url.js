// Prints the URL of a superuser on the local PostgreSQL server, after trying it: as configured for development
// (password postgres), or with a password set through the server's own account when run as root. With a URL: tries that one.
import { execFileSync } from 'node:child_process'
import pg from 'pg'

const [given] = process.argv.slice(2)
const url = given ?? 'postgres://postgres:postgres@127.0.0.1:5432/postgres'

async function answers() {
  const client = new pg.Client({ connectionString: url })
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

if (given !== undefined) {
  if (!(await answers())) throw new Error('nobody answers there')
} else if (!(await answers())) {
  const statement = "alter role postgres password 'postgres'"
  execFileSync('runuser', ['-u', 'postgres', '--', 'psql', '-qc', statement], { stdio: ['ignore', 2, 2] })
  if (!(await answers())) throw new Error('no superuser could be used on 127.0.0.1:5432')
}
console.log(url)
