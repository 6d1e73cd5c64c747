import { Injectable, NotFoundException } from '@nestjs/common';
import { CreateSpotDto, UpdateSpotDto } from './spot.dto';

export interface Spot {
  id: number;
  code: string;
  level: number;
  occupied: boolean;
}

@Injectable()
export class SpotsService {
  private spots: Spot[] = [];
  private sequence = 0;

  create(dto: CreateSpotDto): Spot {
    const spot = { id: ++this.sequence, occupied: false, ...dto };
    this.spots.push(spot);
    return spot;
  }

  findAll(level?: number): Spot[] {
    return level === undefined ? this.spots : this.spots.filter((spot) => spot.level === level);
  }

  findOne(id: number): Spot {
    const spot = this.spots.find((one) => one.id === id);
    if (!spot) throw new NotFoundException(`Spot #${id} not found`);
    return spot;
  }

  update(id: number, dto: UpdateSpotDto): Spot {
    return Object.assign(this.findOne(id), dto);
  }

  remove(id: number): void {
    this.findOne(id);
    this.spots = this.spots.filter((spot) => spot.id !== id);
  }
}
