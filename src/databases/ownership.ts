// Two installations may share a server and a prefix: a comment on each object names its installation.

/** Comment on a tenant database and on its login role. */
export function databaseComment(installationId: string): string {
  return `tenants2fast database of installation ${installationId}`
}

/** Comment on a template; set in the transaction that gives the template its name. */
export function templateComment(installationId: string): string {
  return `tenants2fast template of installation ${installationId}`
}
