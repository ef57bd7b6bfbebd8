/** SIGHUP asks for a reload. While a process is starting it would end it instead: it is kept, and handed on once there is something to reload. */
export class Hangups {
  #reload: (() => void) | null = null;
  #early = false;

  /** Listens from now on. */
  constructor() {
    process.on("SIGHUP", () => {
      if (this.#reload === null) this.#early = true;
      else this.#reload();
    });
  }

  /** @param reload called for each from now on, and at once for one that came before: the config may have changed since it was read */
  handTo(reload: () => void): void {
    this.#reload = reload;
    if (this.#early) reload();
  }
}
