export class UserService {
  list() {
    return []
  }
}
