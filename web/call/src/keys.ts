import { BaseKeyProvider, createKeyMaterialFromBuffer, ExternalE2EEKeyProvider } from "livekit-client";

/** Who makes the keys of a call's media: a password that all know, each member for itself, or nobody. */
export type Secrecy = "password" | "members" | "none";

/** What a call is encrypted with, by Element Call's rule: a password in the link, else the encryption of the room. */
export function secrecyOf(password: string | undefined, encryptedRoom: boolean): Secrecy {
    if (password !== undefined) return "password";
    return encryptedRoom ? "members" : "none";
}

/** Keys of their own for each participant, as Element Call has them (ratchet window 10, tolerance 10, 256 keys). */
export class MemberKeys extends BaseKeyProvider {
    constructor() {
        super({ ratchetWindowSize: 10, failureTolerance: 10, keyringSize: 256 });
    }

    /** Takes a key of the participant with this identity, ours too: the latest of ours encrypts from now on. */
    async set(key: Uint8Array<ArrayBuffer>, index: number, identity: string): Promise<void> {
        this.onSetEncryptionKey(await createKeyMaterialFromBuffer(key.slice().buffer), identity, index);
    }
}

/** Shared-password keys as Element Call derives them (ratchet window 0, tolerance without limit, 16 keys). */
export async function passwordKeys(password: string): Promise<BaseKeyProvider> {
    const provider = new ExternalE2EEKeyProvider({ ratchetWindowSize: 0, failureTolerance: -1, keyringSize: 16 });
    await provider.setKey(password);
    return provider;
}
