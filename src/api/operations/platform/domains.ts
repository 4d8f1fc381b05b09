import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../../operation.js'
import { domain, domainPage, emailDomain } from '../domains.js'
import { defaultLimit, pageFrom, pageOf, tenantParams } from '../schemas.js'

const group = 'Platform: domains'
const [path, emailPath] = ['/platform/tenants/{tenant}/domains', '/platform/tenants/{tenant}/email-domains']

/** Hosts and e-mail domains of any tenant, for whoever has to take one away. */
export const domainsOfPlatformOperations: readonly Operation[] = [
  defineOperation({
    id: 'listPlatformDomains',
    ...{ method: 'get', path, group },
    summary: 'Lists the hosts of a tenant in the order in which they were added',
    access: { platform: true },
    params: tenantParams,
    query: domainPage,
    answer: { status: 200, description: 'A page of hosts', schema: pageOf('PlatformDomains', domain) },
    async run({ params, query: { after, limit = defaultLimit }, tenancy }) {
      return pageFrom(await tenancy.listDomains({ ...params, after, limit: limit + 1 }), limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'removePlatformDomain',
    ...{ method: 'delete', path: `${path}/{domain}`, group },
    summary: 'Removes a host of a tenant',
    access: { platform: true },
    params: tenantParams.extend({ domain: z.guid('must be a UUID') }),
    answer: { status: 204, description: 'Removed' },
    run: ({ params, user, tenancy }) => tenancy.removeDomain({ ...params, actor: user.id }),
  }),
  defineOperation({
    id: 'listPlatformEmailDomains',
    ...{ method: 'get', path: emailPath, group },
    summary: 'Lists the e-mail domains of a tenant in the order in which they were added',
    access: { platform: true },
    params: tenantParams,
    query: domainPage,
    answer: { status: 200, description: 'A page of domains', schema: pageOf('PlatformEmailDomains', emailDomain) },
    async run({ params, query: { after, limit = defaultLimit }, tenancy }) {
      return pageFrom(await tenancy.listEmailDomains({ ...params, after, limit: limit + 1 }), limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'removePlatformEmailDomain',
    ...{ method: 'delete', path: `${emailPath}/{emailDomain}`, group },
    summary: 'Removes an e-mail domain of a tenant; who has joined by it stays',
    access: { platform: true },
    params: tenantParams.extend({ emailDomain: z.guid('must be a UUID') }),
    answer: { status: 204, description: 'Removed' },
    run: ({ params: { tenant, emailDomain: id }, user, tenancy }) =>
      tenancy.removeEmailDomain({ tenant, domain: id, actor: user.id }),
  }),
]
