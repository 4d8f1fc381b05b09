import type { MemberDirectory, MemberRecord } from '../../src/core/access/access.js'
import type { TenantRef } from '../../src/core/tenants/slug.js'

/** Asks the directory for one membership. */
export async function findMember(
  directory: Pick<MemberDirectory, 'findMembers'>,
  userId: string,
  tenant: TenantRef,
): Promise<MemberRecord | undefined> {
  return (await directory.findMembers([{ userId, tenant }]))[0]
}
