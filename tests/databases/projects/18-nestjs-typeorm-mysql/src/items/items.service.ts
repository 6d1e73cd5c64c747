import { Injectable, NotFoundException } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { CreateItemDto, UpdateItemDto } from './item.dto';
import { Item } from './item.entity';

@Injectable()
export class ItemsService {
  constructor(@InjectRepository(Item) private readonly items: Repository<Item>) {}

  create(dto: CreateItemDto) {
    return this.items.save(this.items.create(dto));
  }

  findAll() {
    return this.items.find({ order: { sku: 'ASC' } });
  }

  async findOne(id: string) {
    const item = await this.items.findOneBy({ id });
    if (!item) throw new NotFoundException('Item not found');
    return item;
  }

  async update(id: string, dto: UpdateItemDto) {
    return this.items.save(Object.assign(await this.findOne(id), dto));
  }

  async remove(id: string) {
    await this.items.remove(await this.findOne(id));
  }
}
