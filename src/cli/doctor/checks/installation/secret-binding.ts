import { secretCheck } from '../../../../databases/server/role-password.js'
import { type Check, ok, problem, skipped } from '../../check.js'

/** The secret is the one that the catalog was made with. */
export const secretBinding: Check = {
  name: 'secret-binding',
  async run(context) {
    const { secret } = await context.server()
    const catalog = await context.catalog()
    const { rows } = await catalog.query<{ check: string | null }>('select secret_check as check from installation')
    const stored = rows[0]?.check ?? null
    if (stored === null) return skipped('The catalog is not bound to a secret yet: the first start does it')
    if (stored === secretCheck(secret)) return ok('TENANT_SECRET is the secret of this catalog')
    return problem(
      'TENANT_SECRET is not the secret that this catalog was made with: no tenant can be connected to',
      'Set the secret of this installation, or name another catalog in TENANT_CATALOG_DB',
    )
  },
}
