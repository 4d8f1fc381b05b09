/** Another copy of pg, 8.16, with the types of the first. */
declare module 'pg-second' {
  export { default } from 'pg'
}
