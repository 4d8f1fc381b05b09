/** The middle value. @param {number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** A figure with its baseline of the same run. Each round's ratio is taken by itself; the median of them counts. */
export function figure(name, unit, against, values, baselines, goal) {
  const ratios = values.map((value, index) => value / baselines[index])
  const round = (value, digits) => Number(value.toFixed(digits))
  return {
    name,
    value: round(median(values), 2),
    unit,
    baseline: round(median(baselines), 2),
    against,
    ratio: round(median(ratios), 3),
    runs: values.length,
    goal,
  }
}

/** A figure that is held to a number that was not measured, or measured once. */
export function limit(name, value, unit, most, against, goal) {
  const round = (number, digits) => Number(number.toFixed(digits))
  const ratio = most === 0 ? value : round(value / most, 3)
  return { name, value: round(value, 2), unit, baseline: round(most, 2), against, ratio, runs: 1, goal }
}
