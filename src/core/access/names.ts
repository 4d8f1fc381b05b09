/** The names that a permission may have: `resource:action` in lower case. */
export const permissionNamePattern = /^[a-z][a-z0-9_-]{0,62}:[a-z][a-z0-9_-]{0,62}$/

/** The names that a role or a category of permissions may have: 1 to 100 letters, digits, spaces, . _ - */
export const groupNamePattern = /^[\p{L}\p{N}](?:[\p{L}\p{N} ._-]{0,98}[\p{L}\p{N}])?$/u
