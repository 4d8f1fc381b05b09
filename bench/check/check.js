// One warm permission check: 1,000 members, 100 roles x 100 permissions, 200 route rules. Members and questions are
// drawn once and are the same for all; the variants take turns.
import { figure } from '../figures.js'
import { casbin, casl, mapAndSet, tenants2fast } from './variants.js'
import { makeWorld } from './world.js'

const rounds = 7
const checks = 2 ** 16
/** So many in a round of casbin, which takes milliseconds for each. */
const casbinChecks = 8

export async function run() {
  const world = makeWorld({ ruleCount: 200 })
  const { guard, lookUpAndGuard, canPath } = await tenants2fast(world)
  const rivals = { mapAndSet: mapAndSet(world), casl: casl(world) }
  const casbinCheck = await casbin(world)
  requireSameAnswers(checks, guard, { lookUpAndGuard, canPath, ...rivals })
  requireSameAnswers(casbinChecks, guard, { casbin: casbinCheck })
  const times = race({
    guard: { answer: guard, repeats: 20 },
    lookUpAndGuard: { answer: lookUpAndGuard, repeats: 20 },
    canPath: { answer: canPath },
    mapAndSet: { answer: rivals.mapAndSet, repeats: 20 },
    casl: { answer: rivals.casl },
    casbin: { answer: casbinCheck, count: casbinChecks },
    tenRules: { answer: (await tenants2fast(makeWorld({ ruleCount: 10 }))).guard, repeats: 20 },
    manyRules: { answer: (await tenants2fast(makeWorld({ ruleCount: 10_000 }))).guard, repeats: 20 },
  })
  const perSecond = (nanoseconds) => nanoseconds.map((value) => 1e9 / value)
  const [checkRate, pathRate, casbinRate] = [times.guard, times.canPath, times.casbin].map(perSecond)
  const canPathName = 'can(member, method, path), member by id'
  return [
    figure('check', 'ns', 'Map.get + Set.has', times.guard, times.mapAndSet, '<= 1'),
    figure('check, member by id', 'ns', 'Map.get + Set.has', times.lookUpAndGuard, times.mapAndSet, '<= 1'),
    figure('check, member by id', 'ns', 'CASL, ability by id', times.lookUpAndGuard, times.casl, '< 1'),
    figure('check', 'checks/s', 'casbin enforceSync', checkRate, casbinRate, '>= 10000'),
    figure(canPathName, 'checks/s', 'casbin enforceSync', pathRate, casbinRate, '>= 10000'),
    figure('check among 10,000 rules', 'ns', 'the same among 10 rules', times.manyRules, times.tenRules, '<= 1.5'),
  ]
}

/** Nanoseconds a check, a value a round; every round starts with another variant. */
function race(variants) {
  const names = Object.keys(variants)
  const times = Object.fromEntries(names.map((name) => [name, []]))
  for (const variant of Object.values(variants)) measure(variant)
  for (let round = 0; round < rounds; round += 1) {
    for (let index = 0; index < names.length; index += 1) {
      const name = names[(index + round) % names.length]
      times[name].push(measure(variants[name]))
    }
  }
  return times
}

function measure({ answer, count = checks, repeats = 1 }) {
  const expected = answer(count)
  const started = process.hrtime.bigint()
  let allowed = 0
  for (let repeat = 0; repeat < repeats; repeat += 1) allowed += answer(count)
  const nanoseconds = Number(process.hrtime.bigint() - started)
  if (allowed !== expected * repeats) throw new Error('the answers differ from round to round')
  return nanoseconds / (count * repeats)
}

function requireSameAnswers(count, guard, others) {
  const allowed = guard(count)
  for (const [name, answer] of Object.entries(others)) {
    const other = answer(count)
    if (other !== allowed) throw new Error(`${name} allows ${other}, tenants2fast ${allowed}: not a measurement`)
  }
}
