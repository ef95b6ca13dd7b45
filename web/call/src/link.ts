/** What a link to the page says. All of it stands in the fragment, which browsers never send to a server. */
export interface CallLink {
    homeserver?: string;
    room?: string;
    user?: string;
    /** Password of a demo user. A real user types it. */
    login?: string;
    /** Shared password for end-to-end encryption of the media. */
    password?: string;
    /** Service URL to use when the homeserver names none. */
    service?: string;
    /** Publish nothing at the start. */
    muted: boolean;
}

export function readLink(hash: string): CallLink {
    const query = new URLSearchParams(hash.replace(/^#\/?\??/, ""));
    const text = (key: string): string | undefined => query.get(key) || undefined;
    return {
        homeserver: text("homeserver"),
        room: text("room"),
        user: text("user"),
        login: text("login"),
        password: text("password"),
        service: text("service"),
        muted: query.has("muted"),
    };
}
