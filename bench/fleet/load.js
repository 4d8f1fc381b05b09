// Load on many tenants: who is asked for is drawn from a Zipf distribution.

/** @param {number} count @param {number} exponent @returns {() => number} draws an index; 0 is the hottest */
export function zipf(count, exponent) {
  const cumulative = new Float64Array(count)
  let sum = 0
  for (let index = 0; index < count; index += 1) cumulative[index] = sum += 1 / (index + 1) ** exponent
  return () => {
    const drawn = Math.random() * sum
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (cumulative[middle] < drawn) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** A point read four times of five, a point write else. @param {import('./items.js').Items} items */
export function readOrWrite(items, tenant) {
  const id = 1 + Math.floor(Math.random() * 1000)
  return Math.random() < 0.8 ? items.read(tenant, id) : items.write(tenant, id)
}

/**
 * So many requests at a time, each followed by the next at once; for so long, and at least `requests` of them. `rate`: of
 * those answered in that time, since one that hangs would count as time in which the others did nothing.
 */
export async function closedLoop({ items, draw, seconds, concurrency, requests = 0 }) {
  const latencies = []
  const errors = []
  let inTime = 0
  const end = performance.now() + seconds * 1000
  const worker = async () => {
    for (let now = performance.now(); now < end || latencies.length + errors.length < requests;) {
      const started = now
      try {
        await readOrWrite(items, draw())
        now = performance.now()
        latencies.push(now - started)
        if (now <= end) inTime += 1
      } catch (error) {
        now = performance.now()
        const reason = error.cause ?? error
        errors.push(`after ${Math.round(now - started)} ms: ${reason.code ?? ''} ${reason.message}`)
      }
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  const answered = latencies.length
  return { rate: inTime / seconds, answered, errors: errors.length, firstError: errors[0], ...percentiles(latencies) }
}

/**
 * Requests that arrive at a rate of their own, whether or not the ones before are answered; `classes` by name. Latency
 * counts from the arrival.
 */
export async function openLoop({ items, seconds, classes }) {
  const results = Object.fromEntries(
    Object.keys(classes).map((name) => [name, { latencies: [], errors: 0, firstError: undefined }]),
  )
  const pending = new Set()
  const send = (name, tenant, arrivedAt) => {
    const result = results[name]
    const request = readOrWrite(items, tenant).then(
      () => result.latencies.push(performance.now() - arrivedAt),
      (error) => {
        result.errors += 1
        result.firstError ??= `${error.code ?? ''} ${error.message}`
      },
    )
    pending.add(request)
    void request.finally(() => pending.delete(request))
  }
  const end = performance.now() + seconds * 1000
  await Promise.all(
    Object.entries(classes).map(async ([name, { rate, draw }]) => {
      let arrival = performance.now()
      while (arrival < end) {
        for (; arrival <= performance.now() && arrival < end; arrival += (-Math.log(1 - Math.random()) / rate) * 1000) {
          send(name, draw(), arrival)
        }
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    }),
  )
  await Promise.all(pending)
  return Object.fromEntries(
    Object.entries(results).map(([name, { latencies, ...rest }]) => [
      name,
      { rate: latencies.length / seconds, ...rest, ...percentiles(latencies) },
    ]),
  )
}

/** @param {number[]} values */
export function percentiles(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99), slowest: sorted.at(-1) ?? Number.NaN }
}
