/** Why a token is refused: for the debug log only, the caller of the API reads one fixed message. */
export class TokenRefusal extends Error {
  override readonly name = 'TokenRefusal'
}
