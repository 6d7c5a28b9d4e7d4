export async function film() {
  throw new Error("not yet");
}
