/** The events of the installation, and the entries of the audit log that they are. */
const actionsOfEvents = {
  'tenant.created': ['tenant.create', 'tenant.adopt'],
  'tenant.updated': ['tenant.update', 'tenant.labels'],
  'tenant.renamed': ['tenant.rename'],
  'tenant.suspended': ['tenant.suspend'],
  'tenant.reactivated': ['tenant.reactivate'],
  'tenant.deleted': ['tenant.delete'],
  'tenant.undeleted': ['tenant.undelete'],
  'tenant.purged': ['tenant.dropped'],
  'member.added': ['member.add', 'invitation.accept', 'member.join'],
  'member.updated': ['member.update', 'member.profile.update'],
  'member.removed': ['member.remove', 'member.leave'],
  'member.roles.replaced': ['member.roles.set'],
  'member.role.assigned': ['member.role.assign'],
  'member.impersonation.started': ['impersonation.start'],
  'member.impersonation.ended': ['impersonation.end'],
  'member.role.unassigned': ['member.role.unassign'],
  'invitation.created': ['invitation.create'],
  'invitation.resent': ['invitation.resend'],
  'invitation.withdrawn': ['invitation.withdraw', 'invitation.decline'],
  'ownership.offered': ['ownership.offer'],
  'ownership.transferred': ['ownership.transfer'],
  'domain.added': ['domain.add'],
  'domain.proven': ['domain.prove', 'domain.recover'],
  'domain.failing': ['domain.fail'],
  'domain.lapsed': ['domain.lapse'],
  'domain.removed': ['domain.remove'],
  'user.created': ['user.create'],
  'user.updated': ['user.update'],
  'user.disabled': ['user.disable'],
  'user.enabled': ['user.enable'],
  'user.deleted': ['user.delete'],
} as const

/** The type of an event; `app.…`: an entry that the application has written with `audit.record`. */
export type TenancyEventType = keyof typeof actionsOfEvents | `app.${string}`

/** A change that was committed. */
export interface TenancyEvent {
  /** Unique, and the same each time that the event is delivered. */
  readonly id: string
  readonly type: TenancyEventType
  readonly at: Date
  /** null: it concerns the installation, such as `user.deleted`. */
  readonly tenantId: string | null
  /** Id of the user or service account who made the change; null: an operator, or the installation itself. */
  readonly actorId: string | null
  /** Id of the API key that the change came with; `actorId` is then the service account. null: none. */
  readonly apiKey: string | null
  /** The administrator of the installation who acted as the user `actorId`, and the id of the impersonation; null: nobody did. */
  readonly impersonation: { readonly id: string; readonly administrator: string } | null
  /** What was changed: `tenant:<id>`, `user:<id>`, or as the application wrote it. */
  readonly subject: string | null
  /** As in the entry of the audit log: what differs. Of an erased user: `erased: true`. */
  readonly before: unknown
  readonly after: unknown
}

/** Types of {@link TenancyEvent}, without the application's own. */
export const eventTypes = Object.keys(actionsOfEvents) as (keyof typeof actionsOfEvents)[]

const typesOfActions: ReadonlyMap<string, TenancyEventType> = new Map(
  eventTypes.flatMap((type) => actionsOfEvents[type].map((action) => [action, type] as const)),
)

/** The event that an entry of this action is; undefined: none. */
export function eventTypeOf(action: string): TenancyEventType | undefined {
  return action.startsWith('app.') ? (action as TenancyEventType) : typesOfActions.get(action)
}
