// Two installations may share a server and a prefix: a comment on what we made says whose it is.

/** Comment on a tenant database and on its login role. */
export function databaseComment(installationId: string): string {
  return `tenants2fast database of installation ${installationId}`
}

/** Comment on a template, there from the moment it has its name. */
export function templateComment(installationId: string): string {
  return `tenants2fast template of installation ${installationId}`
}
