import listed from 'email-providers/all.json' with { type: 'json' }

/** Providers that the list of `email-providers` lacks, their addresses for privacy included. */
const others = [
  ...['fastmail.com', 'tutanota.com', 'tutanota.de', 'tuta.com', 'tuta.io', 'tutamail.com', 'keemail.me'],
  ...['posteo.de', 'posteo.net', 'disroot.org', 'riseup.net', 'startmail.com', 'zohomail.com', 'zohomail.eu'],
  ...['skiff.com', 'passport.com', 'duck.com', 'mozmail.com', 'simplelogin.com', 'simplelogin.co', 'aleeas.com'],
  ...['anonaddy.com', 'addy.io'],
]

/** Domains at which anybody gets an e-mail address, in lower case and ASCII. */
export const publicProviders: ReadonlySet<string> = new Set([...listed, ...others])
