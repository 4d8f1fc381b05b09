// A tenant's members, roles, permissions and route rules, and the questions that all variants answer, in the same order.

const memberCount = 1000
const roleCount = 100
const permissionCount = 100
/** Power of two: the sequence of questions is walked over and over. */
const questionCount = 2 ** 16

/**
 * Every role holds each permission with a chance of a half, every member has one role. One permission opens two routes:
 * reading and writing the same thing; with more than 200 rules, of several things.
 *
 * @param {{ ruleCount: number }} size
 */
export function makeWorld({ ruleCount }) {
  const random = randomNumbers(42)
  const permissions = Array.from({ length: permissionCount }, (_, index) => ({
    id: index + 1,
    resource: `resource${index}`,
    name: `resource${index}:use`,
  }))
  const routes = Array.from({ length: ruleCount }, (_, index) => {
    const permission = permissions[(index >> 1) % permissionCount]
    const path = (id) => `/api/${permission.resource}/part${index >> 1}/${id}`
    const method = index % 2 === 0 ? 'GET' : 'POST'
    return { method, template: path('{id}'), keyMatchPath: path(':id'), path: path('42'), permission }
  })
  const roles = Array.from({ length: roleCount }, (_, index) => ({
    name: `role${index}`,
    permissions: permissions.filter(() => random(2) === 0),
  }))
  const members = Array.from({ length: memberCount }, (_, index) => ({
    id: `0198c0de-7e57-7000-8000-${String(index).padStart(12, '0')}`,
    role: roles[index % roleCount],
  }))
  return {
    permissions,
    routes,
    roles,
    members,
    askedMembers: Uint16Array.from({ length: questionCount }, () => random(memberCount)),
    askedRoutes: Uint16Array.from({ length: questionCount }, () => random(ruleCount)),
  }
}

/** A linear congruential generator: the same numbers in every run and for every variant. */
function randomNumbers(seed) {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 8) % below
  }
}
