import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../operation.js'
import { findMade } from '../serving/find-made.js'
import { defaultLimit, moment, momentOrNull, pageFrom, pageOf, pageQuery, roleName, tenantParams } from './schemas.js'

const facts = {
  id: z.guid(),
  state: z.enum(['pending', 'proven', 'failing', 'lapsed']),
  recordName: z.string().openapi({ description: 'Where the TXT record is published' }),
  recordValue: z.string().openapi({ description: 'What the TXT record says' }),
  provenAt: momentOrNull,
  checkedAt: momentOrNull,
  failingSince: momentOrNull,
  createdAt: moment,
}
/** A host, as it is answered. */
export const domain = z.object({ host: z.string(), ...facts }).openapi('Domain')
/** An e-mail domain, as it is answered. */
export const emailDomain = z
  .object({ domain: z.string(), roles: z.array(z.string()).readonly(), ...facts })
  .openapi('EmailDomain')
const domainParams = tenantParams.extend({ domain: z.guid('must be a UUID') })
const emailDomainParams = tenantParams.extend({ emailDomain: z.guid('must be a UUID') })
/** Which page of hosts or e-mail domains. */
export const domainPage = z.strictObject({ ...pageQuery, after: z.guid('must be the `next` of a page').optional() })
const text = z.string().min(1).max(1000)
const roles = z.array(roleName).max(100).readonly()
const [path, emailPath] = ['/tenants/{tenant}/domains', '/tenants/{tenant}/email-domains']
const [group, emailGroup] = ['Domains', 'E-mail domains']

/** Hosts of a tenant, and domains by which people join it. */
export const domainOperations: readonly Operation[] = [
  defineOperation({
    id: 'addDomain',
    ...{ method: 'post', path, group },
    summary: 'Adds a host, to be proven by a DNS record',
    access: { permission: 'domains:create' },
    params: tenantParams,
    body: z.strictObject({ host: text }).openapi('NewDomain'),
    answer: { status: 201, description: 'The host, and the record to publish', schema: domain },
    refusals: [409, 422],
    recovery: {
      action: 'domain.add',
      find: ({ scope, tenancy }, lost) =>
        findMade(lost, (page) => tenancy.listDomains({ ...page, tenant: scope.tenant })),
    },
    run: ({ body, scope, tenancy }) => tenancy.addDomain({ ...scope, ...body }),
  }),
  defineOperation({
    id: 'listDomains',
    ...{ method: 'get', path, group },
    summary: 'Lists hosts in the order in which they were added',
    access: { permission: 'domains:read' },
    params: tenantParams,
    query: domainPage,
    whileImpersonating: true,
    answer: { status: 200, description: 'A page of hosts', schema: pageOf('Domains', domain) },
    async run({ scope, query: { after, limit = defaultLimit }, tenancy }) {
      const found = await tenancy.listDomains({ tenant: scope.tenant, after, limit: limit + 1 })
      return pageFrom(found, limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'verifyDomain',
    ...{ method: 'post', path: `${path}/{domain}/verify`, group },
    summary: 'Looks for the record of a host now',
    access: { permission: 'domains:update' },
    params: domainParams,
    answer: { status: 200, description: 'The host, proven', schema: domain },
    refusals: [409],
    run: ({ params, scope, tenancy }) => tenancy.verifyDomain({ ...scope, domain: params.domain }),
  }),
  defineOperation({
    id: 'removeDomain',
    ...{ method: 'delete', path: `${path}/{domain}`, group },
    summary: 'Removes a host',
    access: { permission: 'domains:delete' },
    params: domainParams,
    answer: { status: 204, description: 'Removed' },
    run: ({ params, scope, tenancy }) => tenancy.removeDomain({ ...scope, domain: params.domain }),
  }),
  defineOperation({
    id: 'addEmailDomain',
    ...{ method: 'post', path: emailPath, group: emailGroup },
    summary: 'Adds a domain of e-mail addresses whose owners may join, to be proven by a DNS record',
    access: { permission: 'domains:create' },
    params: tenantParams,
    body: z.strictObject({ domain: text, roles: roles.optional() }).openapi('NewEmailDomain'),
    answer: { status: 201, description: 'The domain, and the record to publish', schema: emailDomain },
    refusals: [409, 422],
    recovery: {
      action: 'domain.add',
      find: ({ scope, tenancy }, lost) =>
        findMade(lost, (page) => tenancy.listEmailDomains({ ...page, tenant: scope.tenant })),
    },
    run: ({ body, scope, tenancy }) => tenancy.addEmailDomain({ ...scope, ...body }),
  }),
  defineOperation({
    id: 'listEmailDomains',
    ...{ method: 'get', path: emailPath, group: emailGroup },
    summary: 'Lists e-mail domains in the order in which they were added',
    access: { permission: 'domains:read' },
    params: tenantParams,
    query: domainPage,
    whileImpersonating: true,
    answer: { status: 200, description: 'A page of domains', schema: pageOf('EmailDomains', emailDomain) },
    async run({ scope, query: { after, limit = defaultLimit }, tenancy }) {
      const found = await tenancy.listEmailDomains({ tenant: scope.tenant, after, limit: limit + 1 })
      return pageFrom(found, limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'verifyEmailDomain',
    ...{ method: 'post', path: `${emailPath}/{emailDomain}/verify`, group: emailGroup },
    summary: 'Looks for the record of an e-mail domain now',
    access: { permission: 'domains:update' },
    params: emailDomainParams,
    answer: { status: 200, description: 'The domain, proven', schema: emailDomain },
    refusals: [409],
    run: ({ params, scope, tenancy }) => tenancy.verifyEmailDomain({ ...scope, domain: params.emailDomain }),
  }),
  defineOperation({
    id: 'updateEmailDomain',
    ...{ method: 'patch', path: `${emailPath}/{emailDomain}`, group: emailGroup },
    summary: 'Replaces the roles of those who join from now on',
    access: { permission: 'domains:update' },
    params: emailDomainParams,
    body: z.strictObject({ roles }).openapi('EmailDomainUpdate'),
    answer: { status: 200, description: 'The domain', schema: emailDomain },
    run: ({ params, body, scope, tenancy }) =>
      tenancy.updateEmailDomain({ ...scope, ...body, domain: params.emailDomain }),
  }),
  defineOperation({
    id: 'removeEmailDomain',
    ...{ method: 'delete', path: `${emailPath}/{emailDomain}`, group: emailGroup },
    summary: 'Removes an e-mail domain; who has joined by it stays',
    access: { permission: 'domains:delete' },
    params: emailDomainParams,
    answer: { status: 204, description: 'Removed' },
    run: ({ params, scope, tenancy }) => tenancy.removeEmailDomain({ ...scope, domain: params.emailDomain }),
  }),
  defineOperation({
    id: 'listJoinableTenants',
    ...{ method: 'get', path: '/me/joinable-tenants', group: 'Me' },
    summary: 'Lists the tenants that the caller may join by the domain of their address',
    access: { everyUser: true },
    answer: {
      ...{ status: 200, description: 'None, or one for the domain of the proven address' },
      schema: z
        .object({
          items: z
            .array(z.object({ tenantId: z.guid(), slug: z.string(), name: z.string(), domain: z.string() }))
            .readonly(),
        })
        .openapi('JoinableTenants'),
    },
    run: async ({ user, tenancy }) => ({ items: await tenancy.listJoinableTenants({ user: user.id }) }),
  }),
  defineOperation({
    id: 'joinTenant',
    ...{ method: 'post', path: '/me/joinable-tenants/{id}/join', group: 'Me' },
    summary: 'Makes the caller a member, by the domain of their proven address',
    access: { everyUser: true },
    params: z.strictObject({ id: z.guid('must be a UUID') }),
    answer: {
      ...{ status: 200, description: 'The tenant that the caller has joined' },
      schema: z.object({ tenantId: z.guid(), isDefault: z.boolean() }).openapi('JoinedTenant'),
    },
    refusals: [404, 409],
    run: ({ params, user, tenancy }) => tenancy.joinTenant({ tenant: params.id, user: user.id }),
  }),
]
