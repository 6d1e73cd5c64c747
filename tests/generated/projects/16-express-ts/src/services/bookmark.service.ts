export interface Bookmark {
  id: number;
  url: string;
  title: string;
  tags: string[];
}

class BookmarkService {
  private items: Bookmark[] = [];
  private nextId = 1;

  all(tag?: string): Bookmark[] {
    return tag ? this.items.filter((b) => b.tags.includes(tag)) : this.items;
  }

  find(id: number): Bookmark | undefined {
    return this.items.find((b) => b.id === id);
  }

  create(data: Omit<Bookmark, 'id'>): Bookmark {
    const bookmark = { id: this.nextId++, ...data };
    this.items.push(bookmark);
    return bookmark;
  }

  update(id: number, data: Partial<Omit<Bookmark, 'id'>>): Bookmark | undefined {
    const bookmark = this.find(id);
    return bookmark ? Object.assign(bookmark, data) : undefined;
  }

  remove(id: number): boolean {
    const before = this.items.length;
    this.items = this.items.filter((b) => b.id !== id);
    return this.items.length < before;
  }

  tags(): string[] {
    return [...new Set(this.items.flatMap((b) => b.tags))];
  }
}

export const bookmarkService = new BookmarkService();
