// The ways to answer "may this member use this route?" from memory. Each has its own loop, so that none pays for calls
// that another one makes, and returns how often the answer was yes: the work can't be optimised away, and the answers
// of all must be the same.
import { createMongoAbility } from '@casl/ability'
import { newEnforcer, newModelFromString } from 'casbin'
import { createAccessRules } from '../../dist/access/index.js'

/** @typedef {ReturnType<typeof import('./world.js').makeWorld>} World */
/** @typedef {(count: number) => number} Variant answers the first `count` questions */

/** @param {World} world @returns {Promise<{ guard: Variant, lookUpAndGuard: Variant, canPath: Variant }>} */
export async function tenants2fast(world) {
  const rules = createAccessRules({
    readRuleSet: async () => ({
      epoch: 1,
      permissions: world.permissions.map(({ id, name }) => ({ id, name, isActive: true })),
      routes: world.routes.map(({ method, template, permission }) => ({
        method,
        path: template,
        permissionId: permission.id,
        isActive: true,
      })),
      roles: [],
    }),
  })
  await rules.refresh()
  const guards = world.routes.map(({ method, template }) => rules.guard({ kind: 'route', method, path: template }))
  const accesses = world.members.map(({ role }) =>
    rules.compile({ roles: [role.name], permissionIds: role.permissions.map(({ id }) => id), changesAtMs: null }),
  )
  const { askedMembers, askedRoutes, members, routes } = world
  const accessById = new Map(members.map(({ id }, index) => [id, accesses[index]]))
  return {
    // What a request pays: its context holds the member's access already.
    guard(count) {
      let allowed = 0
      for (let index = 0; index < count; index += 1) {
        if (guards[askedRoutes[index]].allows(accesses[askedMembers[index]])) allowed += 1
      }
      return allowed
    },
    lookUpAndGuard(count) {
      let allowed = 0
      for (let index = 0; index < count; index += 1) {
        if (guards[askedRoutes[index]].allows(accessById.get(members[askedMembers[index]].id))) allowed += 1
      }
      return allowed
    },
    canPath(count) {
      let allowed = 0
      for (let index = 0; index < count; index += 1) {
        const { method, path } = routes[askedRoutes[index]]
        if (rules.can(accessById.get(members[askedMembers[index]].id), method, path)) allowed += 1
      }
      return allowed
    },
  }
}

/** @param {World} world @returns {Variant} */
export function mapAndSet({ askedMembers, askedRoutes, members, routes }) {
  const namesById = new Map(members.map(({ id, role }) => [id, new Set(role.permissions.map(({ name }) => name))]))
  return (count) => {
    let allowed = 0
    for (let index = 0; index < count; index += 1) {
      if (namesById.get(members[askedMembers[index]].id).has(routes[askedRoutes[index]].permission.name)) allowed += 1
    }
    return allowed
  }
}

/** One ability a member, made once. @param {World} world @returns {Variant} */
export function casl({ askedMembers, askedRoutes, members, routes }) {
  const abilityById = new Map(
    members.map(({ id, role }) => [
      id,
      createMongoAbility(role.permissions.map(({ resource }) => ({ action: 'use', subject: resource }))),
    ]),
  )
  return (count) => {
    let allowed = 0
    for (let index = 0; index < count; index += 1) {
      const ability = abilityById.get(members[askedMembers[index]].id)
      if (ability.can('use', routes[askedRoutes[index]].permission.resource)) allowed += 1
    }
    return allowed
  }
}

/**
 * A policy a role and route, for one domain only; several would be more policies to go through. Its matcher asks what is
 * cheapest first.
 *
 * @param {World} world @returns {Promise<Variant>}
 */
export async function casbin({ askedMembers, askedRoutes, members, roles, routes }) {
  const enforcer = await newEnforcer(
    newModelFromString(`
      [request_definition]
      r = sub, dom, obj, act
      [policy_definition]
      p = sub, dom, obj, act
      [role_definition]
      g = _, _, _
      [policy_effect]
      e = some(where (p.eft == allow))
      [matchers]
      m = r.dom == p.dom && r.act == p.act && g(r.sub, p.sub, r.dom) && keyMatch2(r.obj, p.obj)
    `),
  )
  const policies = roles.flatMap((role) => {
    const held = new Set(role.permissions)
    return routes.flatMap(({ method, keyMatchPath, permission }) =>
      held.has(permission) ? [[role.name, 'acme', keyMatchPath, method]] : [],
    )
  })
  await enforcer.addPolicies(policies)
  await enforcer.addGroupingPolicies(members.map(({ id, role }) => [id, role.name, 'acme']))
  return (count) => {
    let allowed = 0
    for (let index = 0; index < count; index += 1) {
      const { method, path } = routes[askedRoutes[index]]
      if (enforcer.enforceSync(members[askedMembers[index]].id, 'acme', path, method)) allowed += 1
    }
    return allowed
  }
}
