const wrong: number = 'x'
void wrong
declare const tenancy: import("tenants2fast").Tenancy; declare function work(): Promise<void>
void [tenancy, work]
export {}
