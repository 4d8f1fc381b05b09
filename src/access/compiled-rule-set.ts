import type { MemberAccess, Requirement, RuleSet } from '../core/access/access.js'
import { compileMask, type PermissionMask } from './permission-mask.js'
import { isMethod, parameter, splitPath, splitTemplate } from './route-template.js'
import type { TemplateSegment } from './route-template.js'

/** Permissions of which any one is enough; none: nobody has access. */
export interface Alternatives {
  readonly permissionIds: readonly number[]
  readonly mask: PermissionMask | undefined
}

/** The rule that applies to a route, and the permissions of which any one opens it. */
export interface MatchedRule extends Alternatives {
  /** As written, for example `GET /reports/{id}`. */
  readonly rule: string
}

interface RuleEntry extends MatchedRule {
  readonly permissionIds: number[]
  mask: PermissionMask | undefined
}

interface RouteNode {
  readonly literals: Map<string, RouteNode>
  parameter: RouteNode | undefined
  /** By method or `*`. An inactive rule stays, without permissions, so that switching it off never opens a wider one. */
  readonly rules: Map<string, RuleEntry>
}

const nothing: Alternatives = Object.freeze({ permissionIds: Object.freeze([]), mask: undefined })

/** A compiled rule set: names mapped to ids, and routes as a tree of segments. Immutable once built. */
export class CompiledRuleSet {
  readonly epoch: number
  readonly #permissions = new Map<string, Alternatives>()
  readonly #inactive = new Set<string>()
  readonly #nameById = new Map<number, string>()
  /** Active permissions by name. */
  readonly #sorted: readonly { readonly id: number; readonly name: string }[]
  readonly #roles: ReadonlySet<string>
  readonly #root = emptyNode()

  constructor(ruleSet: RuleSet) {
    this.epoch = ruleSet.epoch
    this.#roles = new Set(ruleSet.roles)
    for (const { id, name, isActive } of ruleSet.permissions) {
      if (!isActive) {
        this.#inactive.add(name)
        continue
      }
      this.#permissions.set(name, { permissionIds: [id], mask: compileMask([id]) })
      this.#nameById.set(id, name)
    }
    this.#sorted = ruleSet.permissions.filter(({ isActive }) => isActive).toSorted((a, b) => (a.name < b.name ? -1 : 1))
    const entries = new Set(ruleSet.routes.flatMap((route) => this.#addRoute(route) ?? []))
    for (const entry of entries) entry.mask = compileMask(entry.permissionIds)
  }

  /** Names of the active permissions that are held, sorted. */
  namesOfHeld(access: Pick<MemberAccess, 'hasPermissionId'>): string[] {
    return this.#sorted.filter(({ id }) => access.hasPermissionId(id)).map(({ name }) => name)
  }

  isBuiltInRole(name: string): boolean {
    return this.#roles.has(name)
  }

  /** Tells whether a permission, route rule or built-in role is defined. The first two also count while switched off. */
  defines(requirement: Requirement): boolean {
    if (requirement.kind === 'role') return this.isBuiltInRole(requirement.name)
    if (requirement.kind === 'route') return this.matchTemplate(requirement.method, requirement.path) !== undefined
    return this.#permissions.has(requirement.name) || this.#inactive.has(requirement.name)
  }

  /** Finds the permissions that satisfy a requirement. */
  alternativesOf(requirement: Exclude<Requirement, { kind: 'role' }>): Alternatives {
    const found =
      requirement.kind === 'route'
        ? this.matchTemplate(requirement.method, requirement.path)
        : this.permission(requirement.name)
    return found ?? nothing
  }

  /** Finds the active permission of that name. */
  permission(name: string): Alternatives | undefined {
    return this.#permissions.get(name)
  }

  /** Finds the most specific rule for a route's own template. */
  matchTemplate(method: string, template: string): MatchedRule | undefined {
    return this.#match(method, splitTemplate(template))
  }

  /** Finds the most specific rule for a concrete path. */
  matchPath(method: string, path: string): MatchedRule | undefined {
    return this.#match(method, splitPath(path))
  }

  #match(method: string, segments: readonly TemplateSegment[] | undefined): MatchedRule | undefined {
    return segments === undefined || !isMethod(method) ? undefined : find(this.#root, method, segments, 0)
  }

  #addRoute({ method, path, permissionId, isActive }: RuleSet['routes'][number]): RuleEntry | undefined {
    const segments = splitTemplate(path)
    if (segments === undefined) return undefined
    let node = this.#root
    for (const segment of segments) node = child(node, segment)
    let entry = node.rules.get(method)
    if (entry === undefined) {
      entry = { rule: `${method} ${path}`, permissionIds: [], mask: undefined }
      node.rules.set(method, entry)
    }
    if (isActive && this.#nameById.has(permissionId)) entry.permissionIds.push(permissionId)
    return entry
  }
}

/** Tries the literal before the parameter at every position, so the first rule found is the most specific one. */
function find(
  node: RouteNode,
  method: string,
  segments: readonly TemplateSegment[],
  index: number,
): MatchedRule | undefined {
  const segment = segments[index]
  if (segment === undefined) {
    // HEAD is GET without the body (RFC 9110, 9.3.2), so the GET rule applies unless HEAD has its own.
    return node.rules.get(method) ?? (method === 'HEAD' ? node.rules.get('GET') : undefined) ?? node.rules.get('*')
  }
  const literal = segment === parameter ? undefined : node.literals.get(segment)
  const found = literal === undefined ? undefined : find(literal, method, segments, index + 1)
  if (found !== undefined || node.parameter === undefined) return found
  return find(node.parameter, method, segments, index + 1)
}

function child(node: RouteNode, segment: TemplateSegment): RouteNode {
  if (segment === parameter) return (node.parameter ??= emptyNode())
  let next = node.literals.get(segment)
  if (next === undefined) {
    next = emptyNode()
    node.literals.set(segment, next)
  }
  return next
}

function emptyNode(): RouteNode {
  return { literals: new Map(), parameter: undefined, rules: new Map() }
}
