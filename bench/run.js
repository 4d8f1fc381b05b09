// `npm run bench -- NAME [--json]`: runs one benchmark (or all of them) and prints its figures with their baselines.
import { benchmarks } from './benchmarks.js'

const args = process.argv.slice(2)
const asJson = args.includes('--json')
const names = args.filter((argument) => argument !== '--json')
const unknown = names.filter((name) => !(name in benchmarks))
if (unknown.length > 0) {
  console.error(`no such benchmark: ${unknown.join(', ')} (there are: ${Object.keys(benchmarks).join(', ')})`)
  process.exit(2)
}
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) {
  const figures = await benchmarks[name]()
  for (const { goal, ...figure } of figures) {
    if (asJson) console.log(JSON.stringify(figure))
    else {
      const against = `${figure.baseline} of ${figure.against}`
      console.log(
        `${figure.name}: ${figure.value} ${figure.unit} against ${against}: ratio ${figure.ratio}${goal ? ` (goal ${goal})` : ''}`,
      )
    }
  }
}
process.exit(0)
